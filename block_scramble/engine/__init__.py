"""What ciphers are built from: blocks, moves of values, and the compiled loops behind them."""
