"""The binary format of WebAssembly, without regard to what a module may do. Core specification 2.0, chapter 5."""
