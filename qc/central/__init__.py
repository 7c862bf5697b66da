"""The central host: consume records, score, store, alert. Never sees a patient."""
