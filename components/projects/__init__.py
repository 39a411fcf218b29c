"""What a project has in every account: its registry groups, pipelines, and the roles of each."""
