"""How the settings of all our programs are read and spelled: one YAML file, values, names."""
