"""Definition to torch.nn.Module: build, the few own modules, initialization."""
