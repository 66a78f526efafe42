"""Who is measured: programs that publish and handle the same events, each as its documentation recommends.

A program runs in the virtual environment of its contender and knows nothing of the others: it imports its own library,
`bench.meter`, `bench.pace` and `bench.sample`, and takes its orders from `BENCH_*` variables. `catalogue` has them all.
"""
