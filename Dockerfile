# adc on CUDA, without weights: mount them, the data and the runs.
#   docker build -t adc . && docker run --gpus all -v $PWD/runs:/adc/runs adc run recipes/demo
FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /adc
RUN python3 -m venv /opt/adc && /opt/adc/bin/pip install --no-cache-dir uv
ENV PATH=/opt/adc/bin:$PATH VIRTUAL_ENV=/opt/adc
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY adc adc
COPY plugins plugins
COPY recipes recipes
RUN uv pip install --no-cache --constraint constraints.txt '.[spandrel,metrics]'
ENTRYPOINT ["adc"]
