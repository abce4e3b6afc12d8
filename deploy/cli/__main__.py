"""`python -m tulle.deploy.cli`: the same as the script `tulle`."""

from tulle.deploy.cli import main

main()
