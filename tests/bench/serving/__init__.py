"""The GPU service against infinity and against ONNX Runtime alone, in turns, on this machine's processor."""
