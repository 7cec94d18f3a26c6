# The PyTorch to install: the CPU build by default. With an NVIDIA GPU: make TORCH=torch test
TORCH ?= torch==2.13.0
PYTHON ?= python3
DATA ?= ../shared/data

BIN = .venv/bin
INSTALLED = .venv/installed

.PHONY: demo docs screenshots viewers explain test test-all fuzz campaigns sanitize lint wheel-check lowest aot bench gpu-check model encode-v1 grades clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

explain: $(INSTALLED)
	$(BIN)/python examples/explain.py

# pictures of the demo's page for the docs; Debian's packages chromium and chromium-driver
screenshots: demo
	$(BIN)/python docs/screenshots.py scan=demo/scan/index.html

# the documentation as pages to open from disk; a warning is an error
docs: $(INSTALLED)
	$(BIN)/python docs/site build/docs

# the default tier, six minutes, a file at a time to each of two workers, in their order: by the number of their tests,
# slow files of few tests would come last and leave a worker idle (11 s of 362); make test PYTEST=--durations=25
WORKERS ?= 2
# Python keeps the bytecode of tests and package, whatever the shell says: collecting takes half as long
test test-all: export PYTHONDONTWRITEBYTECODE =
BY_FILE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
test: $(INSTALLED)
	$(BIN)/python -m pytest -q $(BY_FILE) $(PYTEST)

# what is slow too, what is built, and on a machine with a GPU what needs one
test-all: $(INSTALLED)
	$(BIN)/python -m pytest -q $(BY_FILE) -m "" $(PYTEST)

# broken files for every parser, ten minutes each; make fuzz SECONDS=60
SECONDS ?= 600
fuzz: $(INSTALLED)
	$(BIN)/python tests/campaigns/fuzz.py $(SECONDS)

# the engine and its bindings, odd shapes and tests, built with AddressSanitizer and UndefinedBehaviorSanitizer;
# make sanitize SANITIZE=--threads: with ThreadSanitizer, on odd shapes
sanitize: $(INSTALLED)
	$(BIN)/python tests/campaigns/sanitize.py $(SANITIZE)

# what docs/reliability.md describes; each goes on where it was stopped
campaigns: $(INSTALLED)
	set -e; for name in kills full_disks environments memory; do $(BIN)/python tests/campaigns/$$name.py; done

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the wheel in a new environment without a compiler, and the tests that need no checkout, from another folder;
# lowest: the same with the lowest version of every dependency. make wheel-check CHECK="--python python3.13"
wheel-check: $(INSTALLED)
	$(BIN)/python tests/campaigns/installed.py --python $(PYTHON) --torch "$(TORCH)" $(CHECK)

lowest: $(INSTALLED)
	$(BIN)/python tests/campaigns/installed.py --python $(PYTHON) --lowest $(CHECK)

# registers, spills and shared memory of the Triton kernels on chips that the tests leave out
aot: $(INSTALLED)
	env -u TRITON_INTERPRET TCNFAST_BACKEND=triton $(BIN)/python tests/kernel_resources.py sm_89 sm_100 sm_120

# those that need no files; benchmarks/README.md has the others
BENCHMARKS = kernels.cpu kernels.train_step kernels.effects scan.inputs scan.outputs studies.scores
bench: $(INSTALLED)
	set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(BENCH); done

# on a bare GPU machine, with $(PYTHON) as it is: tests and times the kernels, in stages. In a copy of the tree
# without git: make gpu-check CHECK="--commit abc1234 --out DIR"; without a GPU: CHECK=--rehearse
gpu-check:
	$(PYTHON) benchmarks/gpu_check.py $(CHECK)

# trains the bundled model again, from the data that its card names: four teachers, then the student, which learns
# from encode-v1 too; says the hours first, and goes on where it stopped. encode-v1: trains that one again
PEAKS = --peaks $(DATA)/peaks/dream_conservative.hg19.chr20_X.bed.gz \
          $(DATA)/peaks/precisetad_gm12878_26tf.hg19.chr20_X.bed.gz \
	  --ambiguous $(DATA)/peaks/dream_relaxed.hg19.chr20_X.bed.gz \
	  --blacklist $(DATA)/peaks/blacklist.hg19.chr20_X.bed.gz \
	  --split examples/encode-v1.split.json
HG19 = -g $(DATA)/genome/hg19.chr20.fa.gz $(DATA)/genome/hg19.chrX.first70M.fa.gz
MOTIFS = --motifs $(DATA)/motifs/jaspar2024_core_vertebrates.meme.gz
model: $(INSTALLED)
	$(BIN)/python examples/distil.py examples/encode-v2.json -o runs $(HG19) $(PEAKS) $(MOTIFS)

encode-v1: $(INSTALLED)
	$(BIN)/tcnfast train --config examples/encode-v1.json -o runs/encode-v1 $(HG19) $(PEAKS) $(MOTIFS)

# measures the calls of the bundled model on validation: its calls.tsv, calls.within.tsv, grades.tsv and genome.json
grades: $(INSTALLED)
	$(BIN)/tcnfast evaluate -m encode-v2 --grade $(HG19) $(PEAKS) $(MOTIFS) \
	  --within $(DATA)/peaks/open_pbmc.hg19.chr20_X.bed.gz --within-targets @GM12878,@K562 > /dev/null

# torch first: what pip would pick by itself may be gigabytes of CUDA packages
$(INSTALLED): pyproject.toml setup.py $(wildcard csrc/*.* csrc/*/*.*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tcnfast needs Python 3.11 or later")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

# the genome browser inside the page of a scan: another version of the npm package
IGV ?= $(shell cat tcnfast/scan/igv/VERSION)
igv:
	cd tcnfast/scan/igv && npm pack --silent igv@$(IGV) && tar xzf igv-$(IGV).tgz package/dist/igv.min.js package/LICENSE \
	  && gzip -9 -n -c package/dist/igv.min.js > igv.min.js.gz && mv package/LICENSE . && echo $(IGV) > VERSION \
	  && rm -r package igv-$(IGV).tgz

# what the browser tests cannot do without another program's code: JBrowse 2 opens jbrowse.json
JBROWSE ?= 4.3.0
viewers: $(INSTALLED)
	mkdir -p build/viewers && cd build/viewers && npm pack --silent @jbrowse/react-app2@$(JBROWSE) && tar xzf jbrowse-react-app2-$(JBROWSE).tgz
	TCNFAST_JBROWSE=$(CURDIR)/build/viewers/package/dist/react-app.umd.production.min.js \
	  $(BIN)/python -m pytest -q -m browser tests/scan/test_other_browsers.py

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
