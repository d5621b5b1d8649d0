"""The formats of model traffic: requests, answers and streams are read, put together and translated. Pure.

Sources: OpenAI's API reference, "Chat Completions"; Anthropic's API reference, "Messages".
"""
