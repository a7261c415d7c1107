"""Judges that visible checks and hidden exams share: functions that say what is wrong."""
