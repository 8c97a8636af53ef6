# `make` alone lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
FOLDS  ?= 2
SEED   ?= 0
EXAMS  ?= 240
TORCH  ?= auto
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BUNDLE := bundles/breast_mri_curriculum
SHELL  := /bin/bash
export CONSTRAINTS ?= constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-breast_mri_curriculum demo-breast_mri_transfer demo-breast_mri_doubly_deep demo-breast_ultrasound_center_point demo-mammography_attention demo-detectors label-demo test test-fast e2e lint bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9_-]+:.*## / {printf "%-37s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## make .venv and install the project (TORCH=cpu or cuda; without it by the GPU there is)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pipeline.install --torch $(TORCH) --index $(TORCH_INDEX) --constraint $(CONSTRAINTS)
	touch $@

$(VENV)/.test $(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: $(VENV)/.installed
	$(BIN)/python -m pipeline.install --torch $(TORCH) --index $(TORCH_INDEX) --constraint $(CONSTRAINTS) --extras $*
	touch $@

demo: demo-breast_mri_curriculum  ## the curriculum paper on synthetic exams, from raw files to a report (FOLDS=5 for all)

demo-breast_mri_curriculum: venv
	$(BIN)/python -m pipeline phantom breast_mri --output $(DEMO)/cohort --preset demo --exams $(EXAMS) --seed $(SEED)
	$(BIN)/python -m data_lists csv $(DEMO)/cohort/exams.csv --lesions $(DEMO)/cohort/lesions.csv -o $(DEMO)/cohort.json
	$(BIN)/python -m pipeline study $(BUNDLE) --datalist $(DEMO)/cohort.json --out $(DEMO)/run --preset demo --folds $(FOLDS)
	$(BIN)/python -m pipeline report $(DEMO)/run

demo-breast_mri_transfer: venv  ## three contrast subsets of the transfer paper on synthetic exams, to a report
	$(BIN)/python -m pipeline phantom breast_mri --output $(DEMO)/transfer/cohort --preset demo --exams 100 --seed $(SEED)
	$(BIN)/python -m data_lists csv $(DEMO)/transfer/cohort/exams.csv --lesions $(DEMO)/transfer/cohort/lesions.csv -o $(DEMO)/transfer/cohort.json
	$(BIN)/python -m pipeline study bundles/breast_mri_transfer --datalist $(DEMO)/transfer/cohort.json --out $(DEMO)/transfer/run --preset demo --folds $(FOLDS) --subsets pre+post4+sub,pre+post1+t2,post3+post4+t2
	$(BIN)/python -m pipeline report $(DEMO)/transfer/run

demo-breast_mri_doubly_deep: venv  ## the doubly deep paper on synthetic exams: inputs, sizes and ensembles, to a report
	$(BIN)/python -m pipeline phantom breast_mri --output $(DEMO)/doubly_deep/cohort --preset spectrum --seed $(SEED)
	$(BIN)/python -m data_lists csv $(DEMO)/doubly_deep/cohort/exams.csv --lesions $(DEMO)/doubly_deep/cohort/lesions.csv --validation 0.2 -o $(DEMO)/doubly_deep/cohort.json
	$(BIN)/python -m pipeline study bundles/breast_mri_doubly_deep --datalist $(DEMO)/doubly_deep/cohort.json --out $(DEMO)/doubly_deep/run --preset demo --folds 1
	$(BIN)/python -m pipeline report $(DEMO)/doubly_deep/run

demo-breast_ultrasound_center_point: venv  ## the ultrasound paper on synthetic volumes: two folds and the held-out test, to a report
	$(BIN)/python -m pipeline phantom breast_ultrasound --output $(DEMO)/ultrasound/cohort --preset demo --exams 160 --seed $(SEED)
	$(BIN)/python -m data_lists csv $(DEMO)/ultrasound/cohort/exams.csv --lesions $(DEMO)/ultrasound/cohort/lesions.csv --modality US --held-out 0.25 -o $(DEMO)/ultrasound/cohort.json
	$(BIN)/python -m pipeline study bundles/breast_ultrasound_center_point --datalist $(DEMO)/ultrasound/cohort.json --out $(DEMO)/ultrasound/run --preset demo --folds 0,1,5
	$(BIN)/python -m pipeline report $(DEMO)/ultrasound/run

demo-mammography_attention: venv  ## the mammography paper on synthetic screening exams: Table 1 with readers, to a report
	$(BIN)/python -m pipeline phantom mammography --output $(DEMO)/mammography/cohort --preset demo --exams $(EXAMS) --seed $(SEED)
	$(BIN)/python -m data_lists csv $(DEMO)/mammography/cohort/exams.csv --modality MG -o $(DEMO)/mammography/cohort.json
	$(BIN)/python -m pipeline study bundles/mammography_attention --datalist $(DEMO)/mammography/cohort.json --out $(DEMO)/mammography/run --preset demo --folds $(FOLDS)
	$(BIN)/python -m pipeline report $(DEMO)/mammography/run

demo-detectors: venv  ## Mask R-CNN and Retina U-Net beside the curriculum on the demo's exams, in one fold, to a report
	$(BIN)/python -m pipeline phantom breast_mri --output $(DEMO)/cohort --preset demo --exams $(EXAMS) --seed $(SEED)
	$(BIN)/python -m data_lists csv $(DEMO)/cohort/exams.csv --lesions $(DEMO)/cohort/lesions.csv -o $(DEMO)/cohort.json
	$(BIN)/python -m pipeline study $(BUNDLE) --datalist $(DEMO)/cohort.json --out $(DEMO)/detectors --preset demo --folds 1 --variants curriculum,retina_unet,mask_rcnn
	$(BIN)/python -m pipeline report $(DEMO)/detectors

LABEL ?= $(DEMO)/label
STEM  := $(DEMO)/exported
# bundle : study : datalist, of the demos; those that were run are served
SERVED := breast_mri_curriculum:$(DEMO)/run:$(DEMO)/cohort.json breast_mri_doubly_deep:$(DEMO)/doubly_deep/run:$(DEMO)/doubly_deep/cohort.json breast_mri_transfer:$(DEMO)/transfer/run:$(DEMO)/transfer/cohort.json breast_ultrasound_center_point:$(DEMO)/ultrasound/run:$(DEMO)/ultrasound/cohort.json mammography_attention:$(DEMO)/mammography/run:$(DEMO)/mammography/cohort.json

label-demo: venv  ## serve what the demos trained with MONAI Label on loopback, ask each model, show the answers, stop
	test -x $(LABEL)/bin/python || $(PYTHON) -m venv $(LABEL)
	$(LABEL)/bin/python -m pipeline.install --torch $(TORCH) --index $(TORCH_INDEX) --constraint $(CONSTRAINTS)
	$(LABEL)/bin/pip install --quiet --constraint $(CONSTRAINTS) --requirement docker/label-constraints.txt
	$(LABEL)/bin/pip install --quiet --no-deps monailabel==0.8.5 torchvision==0.28.0
	pairs=""; for each in $(SERVED); do IFS=: read bundle run list <<< "$$each"; \
	  if [ -f $$run/study.json ]; then fold=""; case $$bundle in breast_ultrasound*) ;; *) fold="--fold 0";; esac; \
	    variant=""; [ $$bundle = breast_mri_transfer ] && variant="--variant pre+post4+sub"; \
	    $(BIN)/python -m pipeline export bundles/$$bundle --run $$run $$fold $$variant -o $(STEM) || exit 2; \
	    pairs="$$pairs $(STEM)/$$bundle=$$list"; fi; done; \
	  $(BIN)/python -m pipeline.serve.label $$pairs --python $(LABEL)/bin/python --log $(DEMO)/label.log

# One process a core, each with one thread; a file's tests stay together, because they share what they trained.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

test: $(VENV)/.test  ## all tests but `e2e`; those that measure run last, alone
	$(PYTEST) -m "not e2e and not alone"
	$(BIN)/python -m pytest -q -m "alone and not e2e" || [ $$? -eq 5 ]  # 5: there is none

test-fast: $(VENV)/.test  ## the tests that take under four minutes together
	$(PYTEST) -m "not slow and not e2e and not alone"

e2e: $(VENV)/.test  ## server, browser, cluster, container, long fuzz and kills; what is not installed is skipped with its reason
	LABEL_PYTHON=$${LABEL_PYTHON:-$(wildcard $(abspath $(LABEL))/bin/python)} $(BIN)/python -m pytest -q -m e2e || [ $$? -eq 5 ]

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.bench  ## speed against peers, written to benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

clean:  ## remove the demo's folder and the environment
	rm -rf $(DEMO) $(VENV)
