"""Which ONNX opsets can be written; apart, since the command line asks before onnx is loaded."""

OPSET = 17
# 14 is the first with HardSwish
OPSETS = range(14, 24)
