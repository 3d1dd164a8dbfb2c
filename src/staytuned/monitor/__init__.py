"""Watch a model in service: the quality of its data, the drift of its inputs and outputs, and whether it keeps its promise."""
