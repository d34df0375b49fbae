"""What an agent may call: one module and one description (.md) for each tool."""
