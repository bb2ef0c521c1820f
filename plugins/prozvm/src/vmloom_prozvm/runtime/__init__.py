"""What programs run on: operations, gas, the world that they change, and the interpreter."""
