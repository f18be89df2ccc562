"""Real metrics engines, filled with the simulated cluster's history or scraping it live."""
