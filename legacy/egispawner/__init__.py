"""The name of EGI's spawner package until 2023; configuration still imports from it."""
