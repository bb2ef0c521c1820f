"""ProzVM: a stack machine for ledgers, with its bytecode, optimiser and tiered compiler."""
