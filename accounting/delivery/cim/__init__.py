"""GreenDIGIT's CIM: energy by notebook and day, told over HTTP."""
