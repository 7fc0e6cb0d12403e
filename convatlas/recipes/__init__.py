"""One function a published or recommended run."""
