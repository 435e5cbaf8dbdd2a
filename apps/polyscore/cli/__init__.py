"""The command line, ``polyscore <verb>``: one module per verb, heavy imports inside ``run``."""
