"""Serves ONNX models behind the OpenAI shapes, on SageMaker, on Cloud Run and on a laptop."""

import os

# ONNX Runtime's Linux wheels report to their maker from 1.29 on, and read this variable once, when they are loaded: it
# has to stand before the first `import onnxruntime`, and every module of this package is loaded after this line.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
