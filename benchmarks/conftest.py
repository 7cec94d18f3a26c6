"""Options of bench_cpu.py."""


def pytest_addoption(parser):
    group = parser.getgroup("bench_cpu.py")
    group.addoption("--rounds", type=int, default=5, help="rounds over all sides")
    group.addoption("--seconds", type=float, default=0.2, help="length of one sample")
    group.addoption("--sides", default="", help="regular expression: only sides whose name has it")
    group.addoption("--dry", action="store_true", help="print, and write no results")
