"""An executor of PTX in numpy: runs what Triton or nvcc really compiled where there is no GPU.

A program (CTA) runs at a time, all its threads in lock step; where they part ways, those that lag
behind run first. What it knows: the PTX that Triton 3.6, 3.7 and 3.9 make of these kernels for
sm_80 and sm_90a, and plain CUDA C++. An instruction that it does not know is a ``Fault``.

It computes each instruction's numbers, wgmma (descriptors, swizzles) and mma.sync with the rounding
of support/rounding.py, and on the way it finds:

- loads and stores out of every tensor, over a tensor's end, or misaligned (``Fault``: it stops);
- bytes read, in either memory, that nobody wrote; registers read before they were written;
- races in shared memory: two warps at a byte, one of them writing, and no barrier between; a
  cp.async read before it was waited for; bytes or registers of a wgmma touched before its wait;
- a wgmma that reads what threads wrote without a fence.proxy.async between, or registers that
  changed since the last wgmma.fence;
- global bytes that two programs write, or one writes and another reads; threads of one instruction
  that write different values to one byte; barriers that not all threads reach.

What it does not model: time; deadlock, and what else depends on the order in which warps or CTAs
run; order between the threads of one warp, which run in lock step here; memory order between CTAs;
caches; mbarrier, TMA, clusters, atomics; denormals that .ftz cuts to zero; the error of approximate
instructions (rcp, rsqrt, div.full), which are exact here. A fence.proxy.async counts wherever it
lies between the write and the wgmma: before the barrier, in the threads that wrote, as CUTLASS has
it, or behind it, in those that multiply, as Triton does. PTX's memory model asks for one along
the way, and does not say where ("Proxy-preserved base causality order").

program.py reads the text, registers.py holds numbers, arithmetic.py and conversion.py compute,
global_memory.py and shared_memory.py keep bytes and who touched them, access.py loads, stores and
copies, matrix.py and wgmma.py multiply, cta.py runs a program, launch.py all of a grid, and
on_triton.py what the project launches through Triton.
"""
