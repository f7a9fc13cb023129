"""A folder or a bucket, and what lies in it: lake, training sets, versions, champion records, scores, cards."""
