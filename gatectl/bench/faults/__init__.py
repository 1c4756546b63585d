"""`gatectl bench faults`: what must hold under every fault, tried with real processes, a real broker and real disks.

Each fault is a function of a `Run`; it makes the trouble, seeded, and gives the figures with `ok`. docs/reliability.md
says what each of them does and what came of it.
"""
