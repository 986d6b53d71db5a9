"""What goes over 0MQ: messages, keys, and who may connect."""
