"""The web page: what the agent says, for people who look at a screen."""
