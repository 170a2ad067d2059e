import sys

from cli.ledger_verify.command import main

if __name__ == "__main__":
    sys.exit(main())
