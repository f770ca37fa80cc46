"""The adversary: executions that an arithmetic allows, chosen to hurt, emulated exactly."""
