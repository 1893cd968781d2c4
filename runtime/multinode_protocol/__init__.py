"""The wire between every Multinode program: words, messages and failures. Standard library only."""
