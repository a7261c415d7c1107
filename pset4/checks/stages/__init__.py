"""What a check says, stage by stage: what was seen on the smallest input, the idea, the formula; and the summary."""
