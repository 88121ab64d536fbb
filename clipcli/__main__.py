"""`python -m clipcli`."""

from clipcli.cli import program

if __name__ == "__main__":
    program()
