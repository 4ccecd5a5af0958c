"""What other tools take and give, in documented formats: match tokens, crowd rules, lists of three-key matching."""
