"""What exists and when it is made: asset definitions, checks, jobs, schedules, and the command line on top."""
