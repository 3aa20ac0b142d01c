package engine_test
import ("testing";"math";"time";"fmt";"context";"runtime"
"github.com/ppx-engine/ppx-engine/adapters/gosim"
"github.com/ppx-engine/ppx-engine/engine"
"github.com/ppx-engine/ppx-engine/engine/control"
"github.com/ppx-engine/ppx-engine/internal/testbed"
"github.com/ppx-engine/ppx-engine/ppx"
"github.com/ppx-engine/ppx-engine/ppx/dist"
"github.com/ppx-engine/ppx-engine/tracing")
func init(){ n:=0; models["count-runs"]=func(r *gosim.Run) gosim.Tensor { n++; r.Sample("x",gosim.Normal(0,1)); return gosim.Scalar(float64(n)) } }
func TestZClose(t *testing.T){
 ep:=testbed.Abstract(t); serve(t,ep,"m",func(r *gosim.Run) gosim.Tensor { r.Sample("x",gosim.Normal(0,1)); return gosim.Scalar(0)})
 for _,plain:=range []bool{true,false}{
 p,err:=engine.Open(context.Background(),engine.Options{Connect:[]string{ep},System:"x",Timeout:time.Second,StartTimeout:5*time.Second,Plain:plain}); if err!=nil{t.Fatal(err)}
 draw(t,p,10,prior); s:=time.Now(); p.Close(); fmt.Println("plain",plain,"close took",time.Since(s)) }
}
func TestZInf(t *testing.T){
 for _,eps:=range []float64{0,0.3}{
 for _,val:=range []float64{math.Inf(1),math.NaN()}{
 r:=&engine.OneRun{Recorder:engine.NewRecorder(tracing.NewTable())}
 st:=engine.Stack{control.Prior{}}; if eps>0{st=engine.Stack{control.NewInflate(eps),control.Prior{}}}
 r.Begin(engine.Draw{Seed:1},st)
 _,err:=r.Sample(&ppx.Statement{Op:ppx.Sample,Address:"a",Control:true,Dist:dist.New(dist.Normal,0,1),Value:dist.Scalar(val),Form:&ppx.Form{}})
 tr:=r.End(ppx.Tensor{},0); fmt.Println("eps",eps,"val",val,"err",err,"logw",tr.LogWeight)
 }}
 r:=&engine.OneRun{Recorder:engine.NewRecorder(tracing.NewTable())}
 r.Begin(engine.Draw{Seed:1},engine.Stack{control.Prior{}})
 _,err:=r.Sample(&ppx.Statement{Op:ppx.Sample,Address:"a",Control:true,Dist:dist.New(dist.Normal,1.7e9,0.1),Value:dist.Scalar(1.7e9+0.05),Form:&ppx.Form{}})
 fmt.Println("cancel err",err)
}
func TestZRestart(t *testing.T){
 o:=options("count-runs",1); o.RestartEvery=1; p:=open(t,o); ts,err:=draw(t,p,100,prior); m:=0.0; for _,x:=range ts{m=math.Max(m,x.Result.Data[0])}; fmt.Println("RestartEvery=1: most runs in one process",m,err)
}
func TestZBomb(t *testing.T){
 // chunk of forms all pointing to one
 var e ppx.Encoder
 big:=make([]int32,1<<16)
 forms:=make([]ppx.WireForm,1<<10); forms[0].Shapes=big
 msg:=append([]byte(nil),e.Encode(&ppx.Message{Type:ppx.Statements,Chunk:&ppx.Chunk{Forms:forms}})...)
 // rewrite offsets vector: find vector of length 1<<10 whose entries resolve; brute force
 u32:=func(i int)int{return int(uint32(msg[i])|uint32(msg[i+1])<<8|uint32(msg[i+2])<<16|uint32(msg[i+3])<<24)}
 for i:=0;i+4+4096<=len(msg);i+=4{ if u32(i)!=1024{continue}
  tgt:=i+4+u32(i+4); if tgt>=len(msg)||u32(i+4)==0 {continue}
  for k:=0;k<1024;k++{ at:=i+4+4*k; o:=uint32(tgt-at); msg[at],msg[at+1],msg[at+2],msg[at+3]=byte(o),byte(o>>8),byte(o>>16),byte(o>>24)}
  break }
 var a,b runtime.MemStats; runtime.ReadMemStats(&a)
 var d ppx.Decoder; var m ppx.Message
 err:=d.Decode(msg,&m); runtime.ReadMemStats(&b)
 fmt.Println("bomb: message",len(msg),"err",err,"live MiB",(b.HeapAlloc-a.HeapAlloc)>>20)
 runtime.KeepAlive(d)
}
type rec struct{ log []string; fail bool }
func (r *rec) Sample(s *ppx.Statement)(ppx.Tensor,error){ r.log=append(r.log,"S "+s.Address); return dist.Scalar(0.5),nil}
func (r *rec) Observe(s *ppx.Statement)error{ r.log=append(r.log,fmt.Sprint("O ",s.Address," ",s.Dist.Kind," ",s.Dist.Params[0].Data)); return nil}
func (r *rec) Tag(s *ppx.Statement)error{ r.log=append(r.log,fmt.Sprint("T ",s.Address," ",s.Value.Data)); return nil}
func (r *rec) Finish(v ppx.Tensor,s float64)error{ r.log=append(r.log,"end"); return nil}
func TestZLost(t *testing.T){
 a,b:=ppx.Pipe(); n:=0
 go ppx.Serve(context.Background(),b,"s","m",func(h ppx.Handler)(ppx.Tensor,error){ n++
  tag:=func(x string)error{return h.Tag(&ppx.Statement{Address:x,Value:dist.Scalar(1)})}
  obs:=func(x string,k dist.Kind)error{return h.Observe(&ppx.Statement{Address:x,Dist:dist.New(k,1,2)})}
  if n==1 { // invalid sample after noting
   obs("A",dist.Normal); 
   if _,err:=h.Sample(&ppx.Statement{Address:"bad"});err!=nil{return ppx.Tensor{},err} }
  if n==2 { if err:=obs("B",dist.Gamma);err!=nil{return ppx.Tensor{},err}; if err:=obs("A",dist.Normal);err!=nil{return ppx.Tensor{},err} }
  _=tag
  return dist.Scalar(0),nil})
 s:=ppx.NewSession(ppx.Limits{}); if err:=s.Connect(a,"e",time.Second);err!=nil{t.Fatal(err)}
 pl:=&ppx.Plan{Mode:ppx.Forward,Flush:time.Minute,FlushBytes:1<<20}
 for i:=0;i<3;i++{ r:=&rec{}; err:=s.Execute(context.Background(),a,pl,r,time.Second); fmt.Println("run",i,r.log,err)}
}
func TestZLeave(t *testing.T){
 a,b:=ppx.Pipe()
 go ppx.Serve(context.Background(),b,"s","m",func(h ppx.Handler)(ppx.Tensor,error){
  h.Observe(&ppx.Statement{Address:"A",Dist:dist.New(dist.Normal,1,2)})
  if _,err:=h.Sample(&ppx.Statement{Address:"S",Dist:dist.New(dist.Normal,1,2)});err!=nil{return ppx.Tensor{},err}
  return dist.Scalar(0),nil})
 A:=ppx.NewSession(ppx.Limits{}); A.Connect(a,"A",time.Second)
 B:=ppx.NewSession(ppx.Limits{})
 pl:=&ppx.Plan{Mode:ppx.Delegate,Draws:[]uint64{0},Flush:time.Minute,FlushBytes:1<<20}
 fmt.Println(A.Execute(context.Background(),a,pl,&rec{},time.Second)); time.Sleep(10200*time.Millisecond)
 fmt.Println("B",B.Connect(a,"B",time.Second)); 
 a.Send(B.Abandon(true)); m,_:=a.Recv(time.Second); fmt.Println(B.Abandoned(m))
 r:=&rec{}; fmt.Println("A after B left:",A.Execute(context.Background(),a,pl,r,time.Second),r.log)
}
