# The page, with a model on a CPU:
#   docker build -t couplet . && docker run --rm -p 7860:7860 couplet
# With models of yours, and any other command:
#   docker run --rm -p 7860:7860 -v "$PWD/models:/recipe/models" couplet
#   docker run --rm -v "$PWD:/work" -w /work couplet couplet-generate --prompt 春满神州花似锦
# For NVIDIA GPUs: docker build --build-arg TORCH=cu130 …, and docker run --gpus all …
FROM python:3.12-slim
ARG TORCH=cpu
WORKDIR /recipe
COPY . .
# The steps of docs/install.md; the system's Python is the environment.
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/${TORCH}
RUN pip install -c constraints.txt -e '.[web]'
EXPOSE 7860
# Inside the container all addresses are listened on; which of them is reached from outside, `docker run -p` decides.
CMD ["python", "run_demo.py", "--host", "0.0.0.0"]
