"""A stack calculator as a virtual machine for vmloom."""
