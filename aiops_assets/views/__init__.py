"""Training sets' rows: which columns each view has, how rows are drawn, labelled and split."""
