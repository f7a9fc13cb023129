"""What a fleet of entities (pods, nodes, servers) decides together: which of them a person is called for."""
