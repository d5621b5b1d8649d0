"""The formats of model traffic, as far as more than one service reads them."""
