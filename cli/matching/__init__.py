"""What an instance's matching is worth on labelled files (`metis match …`)."""
