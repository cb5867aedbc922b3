"""The student's own browser: LiteRT.js on WebGPU and WebAssembly, checked before it is believed."""
