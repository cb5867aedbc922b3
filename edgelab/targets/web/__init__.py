"""The student's own browser: LiteRT.js on WebGPU and on WebAssembly, checked against the CPU before it is believed."""
