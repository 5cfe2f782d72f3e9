"""The couplet's own rules, in plain Python: training, decoding and scoring all ask here."""
