"""python -m moco."""

from moco.cli import main

if __name__ == "__main__":
    main()
