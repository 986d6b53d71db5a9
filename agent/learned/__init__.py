"""What people taught the agent: heads on disk, in force or in shadow."""
