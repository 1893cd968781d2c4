"""What the programs of Multinode share: words, messages and errors of the REST API, and small tools. Stdlib only."""
