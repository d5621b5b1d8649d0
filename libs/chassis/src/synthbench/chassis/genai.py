"""Names of the OpenTelemetry GenAI conventions (open-telemetry/semantic-conventions-genai 0.1.0, development).

They still move; nowhere else are they spelled out.
"""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CONVERSATION = "gen_ai.conversation.id"
AGENT_NAME = "gen_ai.agent.name"
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
ERROR_TYPE = "error.type"

STREAM = "gen_ai.request.stream"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
TOKENS_OF = "gen_ai.token.type"

TOKENS_USED = "gen_ai.client.token.usage"
OPERATION_DURATION = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_BUCKETS = tuple(4.0**power for power in range(14))
SECONDS_BUCKETS = tuple(0.01 * 2**power for power in range(14))
"""The conventions' own boundaries, for tokens and for seconds."""

ROUTE = "synthbench.route"
ROUTE_REASON = "synthbench.route.reason"

INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"
CHAT = "chat"
