"""`manage.py doctor`: looks at everything an installation rests on, and changes nothing."""
